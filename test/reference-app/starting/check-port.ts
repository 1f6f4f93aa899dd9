import { createServer } from 'node:net'
import { AppError } from '../app-error.ts'

/**
 * Refuses a port that is taken before anything is started for nothing. Punctual finds out by itself too; what slips
 * through here (the port is taken a second later) it reports. A host that cannot be listened on is left to it as well.
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
          `port ${port}, for ${what}, is taken by another program. Stop that one, or take another port: npm start -- ${flag} ${other}`,
          { port, flag, what },
        ),
      )
    })
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()))
  })
}
