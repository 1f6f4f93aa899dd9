import { connect } from 'node:net'
import { until } from '../support/until.ts'

/**
 * Monitors all commands of a Redis. Not with ioredis, which fails when a command arrives in one
 * chunk with the reply to MONITOR.
 *
 * @param onCommand receives the words of a command
 * @returns stops the monitor
 */
export async function monitorRedis(port: number, onCommand: (words: readonly string[]) => void): Promise<() => void> {
  const socket = connect(port, '127.0.0.1')
  let isMonitoring = false
  let rest = ''
  socket.setEncoding('latin1').on('error', () => {})
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\r\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (isMonitoring) onCommand(Array.from(line.matchAll(/"((?:[^"\\]|\\.)*)"/g), ([, word = '']) => unescaped(word)))
      else isMonitoring = line === '+OK'
    }
  })
  socket.write('MONITOR\r\n')
  try {
    await until('the monitor to start', () => isMonitoring)
  } catch (error) {
    socket.destroy()
    throw error
  }
  return () => socket.destroy()
}

/** Decodes the C-style escapes of Redis. */
function unescaped(word: string): string {
  const marks: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' }
  return word.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, mark: string) =>
    hex === undefined ? (marks[mark] ?? mark) : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}
