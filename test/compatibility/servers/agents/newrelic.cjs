exports.config = {
  app_name: ['compat'],
  license_key: '0000000000000000000000000000000000000000',
  host: '127.0.0.1',
  port: 9,
  logging: { enabled: false },
}
