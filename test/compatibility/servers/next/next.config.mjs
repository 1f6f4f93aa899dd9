export default { output: process.env.NEXT_OUTPUT, distDir: '.cache/next', outputFileTracingRoot: import.meta.dirname, turbopack: { root: import.meta.dirname } }
