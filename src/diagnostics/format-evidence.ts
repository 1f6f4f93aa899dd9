import { formatElapsed } from '../resilience/duration.ts'
import type { KernelEvidence, RequestLine, StallEvidence } from './incident.ts'

const LONGEST_TARGET = 80
const LONGEST_COMMAND = 80

/** `POST /login`. The query stays out of the log: it is where secrets travel; the incident file has it. */
export function formatRequest(request: RequestLine): string {
  const [path = ''] = request.target.split('?')
  return `${shorten(request.method, 20)} ${shorten(path, LONGEST_TARGET)}`
}

/** `spinning`, or what it waits for: `waiting in the kernel (do_wait, wait4) for child "sleep 20"`. */
export function formatKernel(evidence: StallEvidence): string {
  const { kernel } = evidence
  switch (kernel?.doing) {
    case 'spinning':
      return 'spinning'
    case 'stopped':
      return 'stopped by a signal'
    case 'waiting':
      return `waiting in the kernel${tellPlace(kernel)}${tellAwaited(kernel)}`
    default:
      return ''
  }
}

/** `oldest of 3 requests in flight: GET /report (5.1 s)`: where nothing names the culprit, the likeliest. */
export function formatOldest(evidence: StallEvidence): string {
  const [oldest] = evidence.inFlight
  if (oldest === undefined) return ''
  const one = `${formatRequest(oldest)} (${formatElapsed(oldest.ageMs)})`
  if (evidence.inFlightCount <= 1) return `the only request in flight: ${one}`
  return `oldest of ${evidence.inFlightCount} requests in flight: ${one}`
}

function tellPlace(kernel: KernelEvidence): string {
  const names = [kernel.wchan, kernel.syscall].filter((name) => name !== null && name !== '' && name !== '0')
  return names.length === 0 ? '' : ` (${names.join(', ')})`
}

function tellAwaited(kernel: KernelEvidence): string {
  const [child] = kernel.children
  if (child !== undefined && waitsForChild(kernel)) {
    const more = kernel.children.length > 1 ? ` and ${kernel.children.length - 1} more` : ''
    return ` for child "${shorten(child, LONGEST_COMMAND)}"${more}`
  }
  return kernel.target === null ? '' : ` on ${shorten(kernel.target, LONGEST_COMMAND)}`
}

/** A worker may have children that it does not wait for. `execSync` polls their pipes before it waits for them. */
function waitsForChild({ syscall, wchan }: KernelEvidence): boolean {
  return /^(wait4|waitid|epoll_p?wait2?|p?poll)$/.test(syscall ?? '') || /do_wait|poll/.test(wchan ?? '')
}

function shorten(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`
}
