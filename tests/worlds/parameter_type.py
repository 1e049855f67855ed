"""Whether a value of the type d_chk can be bound: its check looks into hidden columns. The client chooses the type of a
parameter by its object id, so nothing of it stands in the statement."""
import sys

import psycopg

with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    oid = connection.execute("select 'd_chk'::regtype::oid").fetchone()[0]
    for guess in (b"123-45-6789", b"no such number"):
        result = connection.pgconn.exec_params(b"select $1", [guess], param_types=[oid])
        print(guess, psycopg.pq.ExecStatus(result.status).name)
