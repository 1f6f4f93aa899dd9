import type { Answer } from './sqlite-call.ts'
import { SqliteDatabase } from './sqlite-database.ts'
import type { SqliteEngine } from './sqlite-engine.ts'
import type { TransactionWait } from './transaction-wait.ts'

/** What Kysely brings along: `import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely'`. */
export interface KyselyParts<Adapter extends object, Introspector, Compiler, Db> {
  readonly SqliteAdapter: new () => Adapter
  readonly SqliteIntrospector: new (db: Db) => Introspector
  readonly SqliteQueryCompiler: new () => Compiler
}

interface CompiledStatement {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

interface QueryOptions {
  readonly signal?: AbortSignal
}

interface KyselyResult<Row> {
  readonly rows: Row[]
  readonly numAffectedRows?: bigint
  readonly insertId?: bigint
}

/** Kysely's `Dialect`, as far as this package may know of it. */
export interface KyselySqliteDialect<Adapter, Introspector, Compiler, Db> {
  createDriver(): SqliteKyselyDriver
  createQueryCompiler(): Compiler
  createAdapter(): Adapter
  createIntrospector(db: Db): Introspector
}

/**
 * A dialect for Kysely on a database that `openSqlite` opened: `new Kysely({ dialect: sqliteDialect(db, { SqliteAdapter, … }) })`. Each query outside a
 * transaction takes the thread that suits it; transactions begin `immediate`, and so do migrations, each as a whole. `destroy` closes the database.
 */
export function sqliteDialect<Adapter extends object, Introspector, Compiler, Db>(
  database: SqliteDatabase,
  parts: KyselyParts<Adapter, Introspector, Compiler, Db>,
): KyselySqliteDialect<Adapter, Introspector, Compiler, Db> {
  return {
    createDriver: () => new SqliteKyselyDriver(database),
    createQueryCompiler: () => new parts.SqliteQueryCompiler(),
    createAdapter: () =>
      // Kysely would else let one query in at a time; and it takes SQLite for unable to roll back what changes the schema.
      Object.defineProperties(new parts.SqliteAdapter(), {
        supportsMultipleConnections: { value: true },
        supportsTransactionalDdl: { value: true },
      }),
    createIntrospector: (db) => new parts.SqliteIntrospector(db),
  }
}

/** Kysely's `Driver`. */
export class SqliteKyselyDriver {
  readonly #database: SqliteDatabase

  constructor(database: SqliteDatabase) {
    this.#database = database
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<SqliteKyselyConnection> {
    return new SqliteKyselyConnection(SqliteDatabase.engineOf(this.#database))
  }

  beginTransaction(connection: unknown): Promise<void> {
    return (connection as SqliteKyselyConnection).begin()
  }

  commitTransaction(connection: unknown): Promise<void> {
    return (connection as SqliteKyselyConnection).commit()
  }

  rollbackTransaction(connection: unknown): Promise<void> {
    return (connection as SqliteKyselyConnection).rollBack()
  }

  savepoint(connection: unknown, name: string): Promise<void> {
    return mark(connection, 'SAVEPOINT', name)
  }

  rollbackToSavepoint(connection: unknown, name: string): Promise<void> {
    return mark(connection, 'ROLLBACK TO', name)
  }

  releaseSavepoint(connection: unknown, name: string): Promise<void> {
    return mark(connection, 'RELEASE', name)
  }

  /** One that comes back inside a transaction, which no orderly user leaves, is rolled back. */
  releaseConnection(connection: unknown): Promise<void> {
    return (connection as SqliteKyselyConnection).rollBack()
  }

  destroy(): Promise<void> {
    return this.#database.close()
  }
}

async function mark(connection: unknown, command: string, name: string): Promise<void> {
  const sql = `${command} "${name.replaceAll('"', '""')}"`
  await (connection as SqliteKyselyConnection).executeQuery({ sql, parameters: [] })
}

/** Kysely's `DatabaseConnection`: none of its own until a transaction begins on it. */
export class SqliteKyselyConnection {
  readonly #engine: SqliteEngine
  #transaction: TransactionWait | undefined

  constructor(engine: SqliteEngine) {
    this.#engine = engine
  }

  async begin(): Promise<void> {
    const transaction = this.#engine.begin('immediate', this.#engine.settings.transactionTimeout)
    await transaction.open()
    this.#transaction = transaction
  }

  async commit(): Promise<void> {
    await this.#transaction?.commit()
    this.#transaction = undefined
  }

  async rollBack(): Promise<void> {
    const transaction = this.#transaction
    this.#transaction = undefined
    await transaction?.rollBack()
  }

  async executeQuery<Row>(query: CompiledStatement, options?: QueryOptions): Promise<KyselyResult<Row>> {
    const { sql, parameters } = query
    const transaction = this.#transaction
    const signal = options?.signal
    let answer: Answer
    try {
      answer = await this.#engine.ask({ sql, parameters, yields: 'either', transaction, signal })
    } catch (error) {
      // Kysely has told its caller already, and would print what comes now.
      if (signal?.aborted === true && error === signal.reason) return { rows: [] }
      throw error
    }
    if (answer.kind !== 'changes') return { rows: answer.kind === 'rows' ? (answer.rows as Row[]) : [] }
    const { changes, lastInsertRowid } = answer
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
  }

  /** For `inflightQueryAbortStrategy: 'cancel query'`. Its signal has ended the query, whatever the strategy. */
  async cancelQuery(): Promise<void> {}

  /** In lots, of an answer that is there as a whole: a reader that is slow must not hold a thread and its snapshot. */
  async *streamQuery<Row>(
    query: CompiledStatement,
    chunkSize: number,
    options?: QueryOptions,
  ): AsyncIterableIterator<KyselyResult<Row>> {
    const { rows } = await this.executeQuery<Row>(query, options)
    const size = Math.max(1, chunkSize)
    for (let start = 0; start < rows.length; start += size) yield { rows: rows.slice(start, start + size) }
  }
}
