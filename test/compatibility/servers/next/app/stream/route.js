import { setTimeout as sleep } from 'node:timers/promises'
export const dynamic = 'force-dynamic'
export async function GET() {
  const encoder = new TextEncoder()
  const body = new ReadableStream({
    async start(controller) {
      for (let i = 0; i < 5; i++) {
        controller.enqueue(encoder.encode(`data: ${i}\n\n`))
        await sleep(100)
      }
      controller.close()
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}
