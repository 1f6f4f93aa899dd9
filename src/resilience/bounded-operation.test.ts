import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ClientDisconnectedError, DeadlineExceededError, ShutdownError } from './abort-reason.ts'
import { abandonedOperations, BoundedOperation } from './bounded-operation.ts'
import { deadlineAt } from './clock.ts'
import { ms } from './duration.ts'
import { ManualClock } from './manual-clock.ts'
import { WaitScope } from './wait-scope.ts'

/** An operation that waits for its turn, as a query waits for a connection. */
class Errand extends BoundedOperation {
  readonly name = 'errand'
  readonly timedOut = new DeadlineExceededError(ms(0))
  given: unknown[] = []

  constructor(scope: WaitScope, limit: number) {
    super(scope, scope.wheel.now(), deadlineAt(scope.wheel.now() + limit), ms(limit))
  }

  begin(refusal?: { readonly reason: unknown }): boolean {
    if (!this.admit(this.timeout > 0, refusal)) return false
    this.startTimer()
    return true
  }

  work(): void {
    this.beginWork()
  }

  giveTurnBack(): void {
    this.requeueWork()
  }

  end(): void {
    this.endWork()
  }

  answer(): boolean {
    return this.settle('ok')
  }

  protected override get abandonedName(): string {
    return 'errands'
  }

  protected override timeoutError(): unknown {
    return this.timedOut
  }

  protected override onGivenUp(reason: unknown): void {
    this.given.push(reason)
  }
}

function setUp(limit = 1_000): { clock: ManualClock; scope: WaitScope; errand: Errand } {
  const clock = new ManualClock()
  const scope = new WaitScope(clock.wheel.now(), deadlineAt(60_000), 0, null, clock.wheel)
  return { clock, scope, errand: new Errand(scope, limit) }
}

describe('a bounded operation', () => {
  it('waits, works, settles, ends and is recorded', async () => {
    const { clock, scope, errand } = setUp()
    assert.equal(errand.state, 'created')
    assert.equal(errand.begin(), true)
    assert.equal(errand.state, 'waiting')
    assert.deepEqual(scope.open(), [errand])
    errand.work()
    assert.equal(errand.state, 'working')
    await clock.advance('10ms')
    assert.equal(errand.answer(), true)
    assert.equal(errand.answer(), false)
    errand.end()
    assert.deepEqual([errand.state, errand.outcome, errand.endedAt], ['ended', 'ok', 10])
    await clock.advance('10s')
    assert.deepEqual(errand.given, [])
    assert.equal(scope.waits.count('ok'), 1)
  })

  it('can wait again', () => {
    const { errand } = setUp()
    errand.begin()
    errand.work()
    errand.giveTurnBack()
    assert.equal(errand.state, 'waiting')
    errand.giveUp(new ShutdownError())
    assert.equal(errand.state, 'ended')
  })

  it('ends without abandoned work if it times out while it waits', async () => {
    const { clock, errand } = setUp()
    errand.begin()
    await clock.advance('1s')
    assert.deepEqual([errand.state, errand.outcome, errand.given], ['ended', 'timed-out', [errand.timedOut]])
    errand.work()
    assert.equal(errand.state, 'ended')
    assert.deepEqual([...abandonedOperations()], [])
  })

  it('is abandoned from its timeout until its work has ended', async () => {
    const { clock, scope, errand } = setUp()
    errand.begin()
    errand.work()
    await clock.advance('1s')
    assert.deepEqual([errand.state, errand.outcome], ['abandoned', 'timed-out'])
    assert.deepEqual([...abandonedOperations()], [['errands', 1]])
    assert.equal(scope.hasAbandoned, true)
    errand.giveUp(new ShutdownError())
    assert.deepEqual(errand.given, [errand.timedOut])
    errand.end()
    errand.end()
    assert.equal(errand.state, 'ended')
    assert.deepEqual([...abandonedOperations()], [])
    assert.equal(scope.hasAbandoned, false)
  })

  it('is given up with its parent, which is a timeout only if the reason is one', () => {
    for (const [reason, outcome] of [
      [new ClientDisconnectedError(), 'aborted'],
      [new DeadlineExceededError(ms(5)), 'timed-out'],
    ] as const) {
      const { scope, errand } = setUp()
      errand.begin()
      errand.work()
      scope.abort(reason)
      assert.deepEqual([errand.state, errand.outcome, errand.given], ['abandoned', outcome, [reason]])
      errand.end()
    }
  })

  it('is not abandoned if its caller has the result while the work still runs', () => {
    const { scope, errand } = setUp()
    errand.begin()
    errand.work()
    errand.answer()
    scope.abort(new ShutdownError())
    assert.deepEqual([errand.state, errand.given], ['working', []])
    assert.deepEqual([...abandonedOperations()], [])
  })

  it('is refused if its parent has ended, if the caller has a reason, or without time', () => {
    const reason = new ShutdownError()
    const over = setUp()
    over.scope.abort(reason)
    const refused = setUp()
    const late = setUp(0)
    for (const [{ scope, errand }, given, refusal] of [
      [over, reason, undefined],
      [refused, 'no', { reason: 'no' }],
      [late, late.errand.timedOut, undefined],
    ] as const) {
      assert.equal(errand.begin(refusal), false)
      assert.deepEqual([errand.state, errand.outcome, errand.given], ['ended', 'refused', [given]])
      assert.equal(scope.waits.count('refused'), 1)
    }
  })

  it('calls onGivenUp once, even if a listener of its signal gives up the parent', async () => {
    const { clock, scope, errand } = setUp()
    const reason = new ShutdownError()
    errand.signal.addEventListener('abort', () => scope.abort(reason))
    errand.begin()
    await clock.advance('1s')
    assert.equal(errand.given.length, 1)
    assert.notEqual(errand.outcome, null)
  })
})
