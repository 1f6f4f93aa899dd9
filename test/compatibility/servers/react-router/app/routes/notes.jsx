export const action = async ({ request }) => Response.json({ got: await request.json() }, { status: 201 })
