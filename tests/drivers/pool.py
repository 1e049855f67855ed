"""A pool of asyncpg's: what its connections say when they are taken, and taken again. See README.md."""

import os
import sys

sys.path = [folder for folder in sys.path if os.path.abspath(folder or ".") != os.path.dirname(os.path.abspath(__file__))]

import asyncio
import json

import asyncpg

URL, SQL = sys.argv[1:]


async def main():
    found = []
    async with asyncpg.create_pool(URL, min_size=1, max_size=1) as pool:
        for _ in range(3):
            async with pool.acquire() as connection:
                found.append([await connection.fetchval("show statement_timeout"), await connection.fetchval(SQL)])
                await connection.execute("set statement_timeout = 54321")
    print(json.dumps(found))


asyncio.run(main())
