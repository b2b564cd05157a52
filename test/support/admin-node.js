// A broker whose parent process may send it operators' commands: `warren start` with a door.

import { loadConfig } from '../../dist/core/config/load.js'
import { runNode } from '../../dist/core/supervisor/node.js'

const [dataDir, ...set] = process.argv.slice(2)
const loaded = loadConfig({ file: undefined, dataDir, set, env: process.env })
const node = await runNode(loaded)
process.on('message', async ({ request, command }) => {
  process.send({ request, reply: await node?.admin(command) })
})
