export default defineEventHandler(() => ({ name: 'nuxt' }))
