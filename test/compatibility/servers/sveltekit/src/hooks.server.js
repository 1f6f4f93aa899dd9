process.on('sveltekit:shutdown', () => console.log('clean-up done'))
