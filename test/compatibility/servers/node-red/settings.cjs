const { join } = require('node:path')

module.exports = {
  uiPort: process.env.PORT,
  uiHost: process.env.HOST,
  userDir: join(__dirname, '.cache/user'),
  flowFile: join(__dirname, '.cache/flows.json'),
  credentialSecret: false,
  externalModules: { autoInstall: false },
  telemetry: { enabled: false, updateNotification: false },
  logging: { console: { level: 'warn' } },
}
