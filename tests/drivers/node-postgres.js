// node-postgres: simple protocol for bare text, extended for parameters, named statements, what MCP servers use most. See README.md.
'use strict'

const crypto = require('crypto')
const { Client, Pool, types } = require('pg')

const URL = process.argv[2]
const BIG = 10 * 1024 * 1024
const results = {}

// Times as the server wrote them: the driver's own dates depend on this machine's zone.
types.setTypeParser(1082, (text) => text)
types.setTypeParser(1184, (text) => text)

const sha256 = (value) => crypto.createHash('sha256').update(value).digest('hex')
const failure = (error) => ({ error: error.code || error.message })

function plain (value) {
  if (Buffer.isBuffer(value)) return { bytes: value.length, sha256: sha256(value) }
  if (typeof value === 'string' && value.length > 1000) return { characters: value.length, sha256: sha256(value) }
  if (Array.isArray(value)) return value.map(plain)
  if (value !== null && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
  return value
}

const cases = {
  async simple (c) {
    const found = await c.query("select 1 as one, 'two' as two, 3.5::numeric as three, date '2026-01-31' as four")
    return [plain(found.rows), found.fields.map((field) => [field.name, field.dataTypeID]), found.command, found.rowCount]
  },
  async several_results (c) {
    const found = await c.query("select 1 as a; select 2 as b; insert into driver_node.t (id) values (900)")
    return found.map((result) => [result.command, result.rowCount, result.rows])
  },
  async prepared_reused (c) {
    const found = []
    for (let n = 0; n < 100; n++) found.push((await c.query({ name: 'double', text: 'select $1::integer * 2 as v', values: [n] })).rows[0].v)
    return found
  },
  async binary (c) {
    const found = await c.query({ text: "select 1::int2, 2::int4, 3::int8, 1.5::float8, 'x'::text, '\\x00ff'::bytea, true", values: [], binary: true, rowMode: 'array' })
    return plain(found.rows)
  },
  async nulls (c) {
    return plain((await c.query({ text: "select null::text, $1::integer, '' as empty", values: [null], rowMode: 'array' })).rows)
  },
  async unicode (c) {
    const text = "Zoë 李 Ωμέγα 🩺 \u0301 O'Brien \\ %"
    const row = (await c.query({ text: 'select $1::text, length($1)', values: [text], rowMode: 'array' })).rows[0]
    return [row[0] === text, row[1], row[0]]
  },
  async arrays (c) {
    return plain((await c.query({ text: 'select $1::integer[], $2::text[], array[[1,2],[3,4]]', values: [[1, null, 3], ['a', null, '', 'b,"c']], rowMode: 'array' })).rows)
  },
  async json (c) {
    return (await c.query('select $1::jsonb as v', [{ a: [1, null, 'ü'] }])).rows
  },
  async big_values (c) {
    const text = 'x'.repeat(BIG)
    const data = Buffer.alloc(BIG, Buffer.from([...Array(256).keys()]))
    const row = (await c.query({ text: 'select $1::text, $2::bytea', values: [text, data], rowMode: 'array' })).rows[0]
    return [plain(row), row[0] === text, row[1].equals(data)]
  },
  async rollback (c) {
    await c.query('BEGIN')
    await c.query('insert into driver_node.t (id) values ($1)', [1])
    await c.query('ROLLBACK')
    await c.query('BEGIN')
    await c.query("insert into driver_node.t (id, word) values ($1, 'kept')", [2])
    await c.query('SAVEPOINT s')
    let failed
    try { await c.query('insert into driver_node.t (id) values ($1)', [2]) } catch (error) { failed = [error.code, error.constraint, error.message, error.detail] }
    await c.query('ROLLBACK TO s')
    await c.query('COMMIT')
    return [failed, (await c.query('select id, word from driver_node.t where id < 10 order by id')).rows]
  },
  async error_then_continue (c) {
    const found = []
    for (const text of ['select 1/0', 'selekt', 'select * from driver_node.gone', "select 'after' as v"]) {
      for (const values of [undefined, []]) {
        try { found.push((await c.query(text, values)).rows) } catch (error) { found.push([error.code, error.message, error.position]) }
      }
    }
    return found
  },
  async queued (c) {
    // The driver queues what is asked at once; each waits for the one before.
    return Promise.all([...Array(50).keys()].map(async (n) => (await c.query('select $1::integer + 1 as v', [n])).rows[0].v))
  },
  async notify (c) {
    const heard = []
    const both = new Promise((resolve) => c.on('notification', (notice) => { heard.push([notice.channel, notice.payload]); if (heard.length === 2) resolve() }))
    await c.query('LISTEN driver_node')
    await c.query("NOTIFY driver_node, 'first'")
    await c.query("select pg_notify('driver_node', 'second')")
    await both
    return heard
  },
  async notices (c) {
    const heard = []
    c.on('notice', (notice) => heard.push([notice.severity, notice.message]))
    await c.query('drop table if exists driver_node.gone')
    return heard
  },
  async statement_timeout (c) {
    await c.query("set statement_timeout = '200ms'")
    const found = []
    try { await c.query('select pg_sleep(60)') } catch (error) { found.push(error.code) }
    await c.query('reset statement_timeout')
    return [found, (await c.query("select 'after' as v")).rows]
  },
  async pooled () {
    const pool = new Pool({ connectionString: URL, max: 5 })
    try {
      return await Promise.all([...Array(40).keys()].map(async (n) => (await pool.query('select $1::integer as v', [n])).rows[0].v))
    } finally {
      await pool.end()
    }
  }
}

// What each statement shows for each number, prepared, in both formats, with the types of the columns.
async function seen (numbers, statements) {
  // Days since 2000-01-01; the driver has no date of its own in this format.
  types.setTypeParser(1082, 'binary', (value) => new Date(Date.UTC(2000, 0, 1 + value.readInt32BE(0))).toISOString().slice(0, 10))
  const client = new Client({ connectionString: URL })
  await client.connect()
  const found = { text: [], binary: [] }
  for (const way of Object.keys(found)) {
    for (const [at, text] of statements.entries()) {
      for (const number of numbers) {
        // Rows as objects: as arrays the driver leaves binary values unread.
        const shown = await client.query({ name: `${way} ${at}`, text, values: [number], binary: way === 'binary' })
        found[way].push({ types: shown.fields.map((field) => field.dataTypeID), rows: shown.rows.map((row) => plain(Object.values(row))) })
      }
    }
  }
  await client.end()
  console.log(JSON.stringify(found))
}

async function main () {
  const setup = new Client({ connectionString: URL })
  await setup.connect()
  await setup.query('drop schema if exists driver_node cascade; create schema driver_node; create table driver_node.t (id integer primary key, word text)')
  for (const [name, body] of Object.entries(cases)) {
    const client = new Client({ connectionString: URL })
    try {
      await client.connect()
      results[name] = await body(client)
    } catch (error) {
      results[name] = failure(error)
    } finally {
      await client.end()
    }
  }
  await setup.query('drop schema driver_node cascade')
  await setup.end()
  console.log(JSON.stringify(Object.fromEntries(Object.entries(results).sort()), null, 1))
}

const [numbers, ...statements] = process.argv.slice(3)
const whole = numbers === undefined ? main() : seen(numbers.split(',').map(Number), statements)
whole.catch((error) => { console.error(error); process.exit(1) })
