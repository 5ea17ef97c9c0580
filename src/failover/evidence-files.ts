import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Evidence } from './evidence.js'
import { evidenceMarkdown } from './evidence-markdown.js'

/** Writes the bundle as JSON and as Markdown and adds both paths to `files`. */
export async function writeEvidence(directory: string, evidence: Evidence): Promise<void> {
  const time = evidence.startedAt.toISOString().replaceAll(':', '-')
  const { service, kind, epoch, outcome } = evidence
  const name = `${service}-${kind}-${String(epoch).padStart(4, '0')}-${outcome}-${time}`
  const json = join(directory, `${name}.json`)
  const markdown = join(directory, `${name}.md`)
  await mkdir(directory, { recursive: true })
  evidence.files.push(json, markdown)
  await writeFile(json, `${JSON.stringify(evidence, undefined, 2)}\n`)
  await writeFile(markdown, evidenceMarkdown(evidence))
}
