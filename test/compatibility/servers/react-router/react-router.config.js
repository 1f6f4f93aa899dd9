export default { ssr: true, buildDirectory: '.cache/build' }
