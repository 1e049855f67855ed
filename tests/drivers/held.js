// node-postgres, held open: runs the same named statement each time a line comes in, and prints what it saw. See README.md.
'use strict'

const readline = require('readline')
const { Client } = require('pg')

const [URL, SQL] = process.argv.slice(2)

async function main () {
  const client = new Client({ connectionString: URL })
  await client.connect()
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    let said
    try {
      const found = await client.query({ name: 'held', text: SQL, values: [1], rowMode: 'array' })
      said = { rows: found.rows.map((row) => row.map(String)) }
    } catch (error) {
      said = { error: error.code || error.message, message: error.message }
    }
    console.log(JSON.stringify(said))
  }
  await client.end()
}

main()
