import type { Answer } from './sqlite-call.ts'
import { SqliteDatabase } from './sqlite-database.ts'
import type { SqliteEngine } from './sqlite-engine.ts'
import type { SqliteTransaction } from './sqlite-transaction.ts'

/** Classes that the app imports from `kysely`. */
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

/** Kysely's `Dialect`, without importing it. */
export interface KyselySqliteDialect<Adapter, Introspector, Compiler, Db> {
  createDriver(): SqliteKyselyDriver
  createQueryCompiler(): Compiler
  createAdapter(): Adapter
  createIntrospector(db: Db): Introspector
}

/**
 * A dialect of Kysely for a database of `openSqlite`:
 * `new Kysely({ dialect: sqliteDialect(db, { SqliteAdapter, … }) })`.
 *
 * A query outside of a transaction runs on the thread that suits it. Transactions start
 * `immediate`, and all migrations of one run are one transaction. `destroy` closes the database.
 */
export function sqliteDialect<Adapter extends object, Introspector, Compiler, Db>(
  database: SqliteDatabase,
  parts: KyselyParts<Adapter, Introspector, Compiler, Db>,
): KyselySqliteDialect<Adapter, Introspector, Compiler, Db> {
  return {
    createDriver: () => new SqliteKyselyDriver(database),
    createQueryCompiler: () => new parts.SqliteQueryCompiler(),
    createAdapter: () =>
      // By default Kysely runs one query at a time, and assumes that SQLite cannot roll back schema
      // changes.
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

  /** Rolls back a transaction that was left open. */
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

/** Kysely's `DatabaseConnection`. It uses the pools until a transaction begins on it. */
export class SqliteKyselyConnection {
  readonly #engine: SqliteEngine
  #transaction: SqliteTransaction | undefined

  constructor(engine: SqliteEngine) {
    this.#engine = engine
  }

  async begin(): Promise<void> {
    const transaction = this.#engine.newTransaction('immediate', this.#engine.settings.transactionTimeout)
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
      answer = await this.#engine.run({ sql, parameters, result: 'either', transaction, signal })
    } catch (error) {
      // Kysely has rejected its caller's promise already, and would log another error.
      if (signal?.aborted === true && error === signal.reason) return { rows: [] }
      throw error
    }
    if (answer.kind !== 'changes') return { rows: answer.kind === 'rows' ? (answer.rows as Row[]) : [] }
    const { changes, lastInsertRowid } = answer
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
  }

  /**
   * For `inflightQueryAbortStrategy: 'cancel query'`: the signal has cancelled the query already.
   */
  async cancelQuery(): Promise<void> {}

  /**
   * Returns parts of a complete result: a slow consumer must not occupy a thread and its snapshot.
   */
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
