// Prisma's own program with the schema engine that its package brings (WebAssembly), over node-postgres: `prisma db pull`
// without the native engines, which its installation would download.

import pg from "pg";
import { PrismaPg } from "@prisma/adapter-pg";
import { ColumnTypeEnum } from "@prisma/driver-adapter-utils";
import { defineConfig } from "prisma/config";

// Types of catalogs that the engine asks for and this adapter does not know.
const [CHAR, NAME, TEXT] = [18, 19, 25];

class Pool extends pg.Pool {
  async query(...asked) {
    const result = await super.query(...asked);
    result.rows.characters = result.fields.flatMap((field, at) => (field.dataTypeID === CHAR ? [at] : []));
    for (const field of result.fields) {
      if ([CHAR, NAME].includes(field.dataTypeID)) field.dataTypeID = TEXT;
    }
    return result;
  }
}

class Adapter extends PrismaPg {
  async connect() {
    const connected = await super.connect();
    const queryRaw = connected.queryRaw.bind(connected);
    connected.queryRaw = async (asked) => {
      const answer = await queryRaw(asked);
      for (const at of answer.rows.characters) answer.columnTypes[at] = ColumnTypeEnum.Character;
      return answer;
    };
    return connected;
  }
}

export default defineConfig({
  experimental: { adapter: true },
  engine: "js",
  schema: "schema.prisma",
  adapter: async () => new Adapter(new Pool({ connectionString: process.env.DATABASE_URL })),
});
