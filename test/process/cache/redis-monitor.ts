import { connect } from 'node:net'
import { until } from '../support/until.ts'

/**
 * Hears every command that anybody gives to a Redis. By hand, because ioredis fails when what is monitored comes in one piece with the answer to MONITOR.
 *
 * @param onCommand the words of a command
 * @returns stops it
 */
export async function monitorRedis(port: number, onCommand: (words: readonly string[]) => void): Promise<() => void> {
  const socket = connect(port, '127.0.0.1')
  let begun = false
  let rest = ''
  socket.setEncoding('latin1').on('error', () => {})
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\r\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (begun) onCommand(Array.from(line.matchAll(/"((?:[^"\\]|\\.)*)"/g), ([, word = '']) => unescaped(word)))
      else begun = line === '+OK'
    }
  })
  socket.write('MONITOR\r\n')
  try {
    await until('Redis to be heard', () => begun)
  } catch (error) {
    socket.destroy()
    throw error
  }
  return () => socket.destroy()
}

/** Redis writes words as C does. */
function unescaped(word: string): string {
  const marks: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' }
  return word.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, mark: string) =>
    hex === undefined ? (marks[mark] ?? mark) : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}
