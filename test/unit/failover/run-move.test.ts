import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import type { MoveContext } from '../../../src/failover/move-context.js'
import { MoveCoordinator } from '../../../src/failover/move-coordinator.js'
import { giveUp } from '../../../src/failover/run-move.js'
import type { ControlView, MoveView } from '../../../src/control/moves.js'

type Outcome = MoveView['outcome']

/** `before`: what the log says when the move fails; `after`: what it says when the abort was written, or could not be. */
async function giveUpWith(before: Outcome, after: Outcome | 'fails') {
  const done: string[] = []
  let outcome = before
  const move = {
    epoch: 3,
    get decision() {
      return { outcome }
    },
    undecided: () => Promise.resolve(outcome === 'open'),
    abort: () => {
      done.push('abort')
      if (after === 'fails') return Promise.reject(new Error('nobody answers'))
      outcome = after
      return Promise.resolve(outcome === 'aborted')
    },
    reopen: () => Promise.resolve(void done.push('reopen')),
    context: {
      options: { logger: { error: () => undefined } },
      react: () => Promise.resolve(void done.push('react'))
    } as unknown as MoveContext
  }
  await giveUp(move, new TwinlogError('TWINLOG_TIMEOUT', 'too slow'))
  return done
}

describe('giving up a move', () => {
  it('opens its lanes when it was aborted, by this instance or by another one', async () => {
    expect(await giveUpWith('open', 'aborted')).toEqual(['abort', 'reopen', 'react'])
    expect(await giveUpWith('aborted', 'aborted')).toEqual(['reopen', 'react'])
  })

  it('leaves its lanes closed when it was joined after all, or a later one took its place', async () => {
    expect(await giveUpWith('open', 'joined')).toEqual(['abort', 'react'])
    expect(await giveUpWith('joined', 'joined')).toEqual(['react'])
    expect(await giveUpWith('superseded', 'superseded')).toEqual(['react'])
  })

  it('leaves its lanes closed when nobody knows how it ended', async () => {
    expect(await giveUpWith('open', 'fails')).toEqual(['abort', 'react'])
  })
})

describe('asking who is alive', () => {
  const own = { service: 's', instance: 'a', epoch: 0, topics: ['t'], groups: [] }
  const link = (alias: string, present: () => Promise<unknown>) => ({ alias, healthy: true, present })
  const silent = () => Promise.reject(new TwinlogError('TWINLOG_UNREACHABLE', 'no answer'))

  function coordinator(kind: 'switchover' | 'failover', fleet: boolean, west: () => Promise<unknown>) {
    const context = {
      options: { fleet, topics: undefined },
      links: new Map([link('east', silent), link('west', west)].map(one => [one.alias, one])),
      active: 'east',
      heartbeat: () => own,
      views: () => new Map<string, ControlView>()
    }
    const signal = new AbortController().signal
    return new MoveCoordinator(context as unknown as MoveContext, { kind, to: 'west', signal })
  }

  it('ends a switchover when no cluster answers: nobody knows who has to stop', async () => {
    await expect(coordinator('switchover', true, silent).survey()).rejects.toMatchObject({
      code: 'TWINLOG_UNREACHABLE',
      retriable: true
    })
  })

  it('does not end a failover, and stands in its evidence', async () => {
    const move = coordinator('failover', true, silent)
    await move.survey()
    expect(move.members).toEqual(['a'])
    expect(move.recorder.decisions).toEqual([expect.stringContaining('which other instances are alive')])
  })

  it('needs one cluster that answers, and none when this process is the whole service', async () => {
    const other = { ...own, instance: 'b', topics: ['u'], timestamp: 0n }
    const move = coordinator('switchover', true, () => Promise.resolve(new Map([['b', other]])))
    await move.survey()
    expect([move.members, move.topics]).toEqual([
      ['a', 'b'],
      ['t', 'u']
    ])
    expect(move.recorder.decisions).toEqual([])
    await expect(coordinator('switchover', false, silent).survey()).resolves.toBeUndefined()
  })
})
