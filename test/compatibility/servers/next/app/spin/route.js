export const dynamic = 'force-dynamic'
export async function GET() {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  return new Response('spun')
}
