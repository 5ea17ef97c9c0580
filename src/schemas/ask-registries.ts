import { TwinlogError } from '../errors.js'
import { inParallel } from './in-parallel.js'
import type { Answers, LookupAnswer, Question } from './questions.js'
import type { RegistryClient } from './registry-types.js'

export interface AskOptions {
  source: RegistryClient
  target: RegistryClient
  concurrency: number
  signal?: AbortSignal | undefined
}

/** Gets the answers to what a comparison left open. */
export async function askRegistries(questions: readonly Question[], answers: Answers, o: AskOptions): Promise<void> {
  const { source, target, signal } = o
  await inParallel(questions, o, async question => {
    const { key } = question
    if (question.kind === 'lookup') answers.answerLookup(key, await lookUp(question, target, signal))
    if (question.kind === 'id')
      answers.answerId(key, (await target.schemaById(question.id, { scope: question.scope, signal })) ?? null)
    if (question.kind === 'versions')
      answers.answerVersions(key, (await source.versions(question.subject, { deleted: true, signal })) ?? null)
  })
}

async function lookUp(
  { subject, content }: Extract<Question, { kind: 'lookup' }>,
  target: RegistryClient,
  signal: AbortSignal | undefined
): Promise<LookupAnswer> {
  try {
    return (await target.lookup(subject, content, { deleted: true, signal })) ?? null
  } catch (error) {
    // What the registry cannot even read, for want of a reference or of the language, it does not have.
    if (error instanceof TwinlogError && error.httpStatus === 422) return null
    throw error
  }
}
