export default defineNitroPlugin((nitro) => {
  nitro.hooks.hook('close', () => console.log('clean-up done'))
})
