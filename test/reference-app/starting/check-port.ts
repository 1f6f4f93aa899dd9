import { createServer } from 'node:net'
import { AppError } from '../app-error.ts'

/**
 * Rejects a port that is in use before anything is started. Punctual reports what this check
 * misses, such as a port that is taken a second later or a host that cannot be listened on.
 */
export function checkPort(host: string, port: number, flag: string, what: string): Promise<void> {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return resolve()
      const other = port === 65_535 ? port - 1 : port + 1
      reject(
        new AppError(
          'PORT_TAKEN',
          `port ${port} (${what}) is in use. Stop the other program, or use another port: npm start -- ${flag} ${other}`,
          { port, flag, what },
        ),
      )
    })
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()))
  })
}
