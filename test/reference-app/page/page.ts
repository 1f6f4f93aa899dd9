import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import type { DatabaseAddress } from '../database/database-url.ts'

/**
 * Serves `GET /`: one file with its style and script; the policy allows only these, by hash. The
 * page shows which database is used and what works with it.
 */
export function addPage(app: FastifyInstance, adminUrl: string, database: DatabaseAddress['kind']): void {
  const html = readFileSync(new URL('index.html', import.meta.url), 'utf8')
    .replaceAll('{{adminUrl}}', escapeHtml(adminUrl))
    .replaceAll('{{database}}', database)
  const policy = [
    "default-src 'none'",
    `style-src ${hashes(html, 'style')}`,
    `script-src ${hashes(html, 'script')}`,
    "connect-src 'self'",
    'img-src data:',
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
  app.get('/', (_request, reply) =>
    reply
      .type('text/html; charset=utf-8')
      .headers({
        'content-security-policy': policy,
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-cache',
      })
      .send(html),
  )
}

function hashes(html: string, element: 'style' | 'script'): string {
  const found = [...html.matchAll(new RegExp(`<${element}>(.*?)</${element}>`, 'gs'))]
  return found.map(([, text = '']) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`).join(' ')
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
