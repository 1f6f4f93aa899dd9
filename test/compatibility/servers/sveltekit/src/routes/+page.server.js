export const load = () => ({ name: 'svelte' })
export const actions = {
  default: async ({ request }) => ({ text: (await request.formData()).get('text') }),
}
