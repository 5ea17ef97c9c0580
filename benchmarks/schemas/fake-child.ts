// A fake registry as a process of its own: its CPU time is not the sync's. Ends with its parent.
import { startFakeRegistry } from '../../test/support/registry/fake.js'

const registry = await startFakeRegistry()
process.on('disconnect', () => process.exit(0))
process.send?.({ url: registry.url })
