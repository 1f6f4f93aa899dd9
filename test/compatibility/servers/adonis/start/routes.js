import router from '@adonisjs/core/services/router'
import server from '@adonisjs/core/services/server'

server.use([() => import('@adonisjs/core/bodyparser_middleware')])
router.get('/', () => 'hello')
router.get('/greetings/:name', ({ params }) => ({ greeting: `hello ${params.name}` }))
router.post('/echo', ({ request }) => request.all())
router.get('/spin', () => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  return 'spun'
})
