import 'reflect-metadata'
import { createRequire } from 'node:module'
import express from 'express'

const require = createRequire(import.meta.url)
const url = process.env.DATABASE_URL

/** Each: a table of notes of its own, one insert in a transaction, one count. */
const ORMS = {
  drizzle: async () => {
    const { drizzle } = await import('drizzle-orm/node-postgres')
    const { eq, sql } = await import('drizzle-orm')
    const { pgTable, serial, text } = await import('drizzle-orm/pg-core')
    const pg = require('pg')
    const notes = pgTable('drizzle_notes', { id: serial('id').primaryKey(), text: text('text').notNull() })
    const pool = new pg.Pool({ connectionString: url, max: 4 })
    const db = drizzle(pool)
    await db.execute(sql`create table if not exists drizzle_notes (id serial primary key, text text not null)`)
    return {
      add: (value) => db.transaction(async (tx) => tx.insert(notes).values({ text: value })),
      count: async (value) => (await db.select().from(notes).where(eq(notes.text, value))).length,
      close: () => pool.end(),
    }
  },
  knex: async () => {
    const knex = require('knex')({ client: 'pg', connection: url, pool: { min: 0, max: 4 } })
    await knex.raw('create table if not exists knex_notes (id serial primary key, text text not null)')
    return {
      add: (value) => knex.transaction((tx) => tx('knex_notes').insert({ text: value })),
      count: async (value) => (await knex('knex_notes').where({ text: value })).length,
      close: () => knex.destroy(),
    }
  },
  sequelize: async () => {
    const { DataTypes, Sequelize } = require('sequelize')
    const sequelize = new Sequelize(url, { logging: false, pool: { max: 4 } })
    const Note = sequelize.define('sequelize_note', { text: DataTypes.TEXT }, { timestamps: false })
    await sequelize.query('create table if not exists sequelize_notes (id serial primary key, text text not null)')
    return {
      add: (value) => sequelize.transaction((transaction) => Note.create({ text: value }, { transaction })),
      count: (value) => Note.count({ where: { text: value } }),
      close: () => sequelize.close(),
    }
  },
  typeorm: async () => {
    const { DataSource, EntitySchema } = require('typeorm')
    const Note = new EntitySchema({
      name: 'typeorm_notes',
      columns: { id: { type: Number, primary: true, generated: true }, text: { type: 'text' } },
    })
    const source = new DataSource({ type: 'postgres', url, entities: [Note], poolSize: 4 })
    await source.initialize()
    await source.query('create table if not exists typeorm_notes (id serial primary key, text text not null)')
    return {
      add: (value) => source.transaction((manager) => manager.getRepository(Note).insert({ text: value })),
      count: (value) => source.getRepository(Note).countBy({ text: value }),
      close: () => source.destroy(),
    }
  },
}

const orm = await ORMS[process.env.ORM]()
const app = express()
app.get('/', async (_, response) => response.json({ count: await orm.count('nothing') }))
app.post('/notes/:text', async ({ params }, response) => {
  await orm.add(params.text)
  response.json({ count: await orm.count(params.text) })
})
app.get('/spin', (_, response) => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  response.send('spun')
})
const server = app.listen(process.env.PORT)
process.on('SIGTERM', () => {
  server.close(async () => {
    await orm.close()
    console.log('clean-up done')
  })
})
