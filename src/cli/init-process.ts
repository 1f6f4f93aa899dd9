import { accessSync, constants } from 'node:fs'

const SHELL = '/bin/sh'

/**
 * The signals that are passed on. The kernel delivers no others to an init process that does not
 * handle them.
 */
const SIGNALS = ['HUP', 'USR1', 'USR2', 'ALRM', 'TERM', 'TTIN', 'TTOU']

/**
 * Starts the command line in `$@`, passes signals on, and exits as it does. While the shell waits,
 * it reaps every child, also those that it has inherited from other processes. A terminal sends INT
 * and QUIT to the command as well, so that passing them on would deliver them twice.
 */
const SCRIPT = `
if [ -t 0 ]; then trap : INT QUIT; else trap 'kill -INT "$child"' INT; trap 'kill -QUIT "$child"' QUIT; fi
for signal in ${SIGNALS.join(' ')}; do trap "kill -$signal \\"\\$child\\"" "$signal"; done
"$@" <&0 &
child=$!
while wait "$child"; code=$?; [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null; do :; done
exit "$code"
`

/**
 * As process 1 of a container, replaces this process by a shell that starts it again as its child:
 * process 1 inherits all orphans, and Node cannot reap processes that it has not started. Does
 * nothing elsewhere, or where there is no shell.
 */
export function leaveInitProcess(): void {
  if (process.pid !== 1 || typeof process.execve !== 'function') return
  try {
    accessSync(SHELL, constants.X_OK)
  } catch {
    return
  }
  if (process.permission?.has('child') === false) return
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  process.execve(SHELL, ['sh', '-c', SCRIPT, 'punctual-init', ...command], process.env)
}
