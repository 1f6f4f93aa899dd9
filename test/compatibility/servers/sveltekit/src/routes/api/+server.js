import { json } from '@sveltejs/kit'

export const POST = async ({ request }) => json({ got: await request.json() }, { status: 201 })
