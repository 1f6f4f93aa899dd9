export async function POST(request) {
  const { text } = await request.json()
  return Response.json({ text, length: text.length }, { status: 201 })
}
