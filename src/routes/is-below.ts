/** Whether the path of a URL (as in the request line, with its query) is the prefix or below it. */
export function isBelow(url: string, prefix: string): boolean {
  if (prefix === '/') return true
  if (!url.startsWith(prefix)) return false
  const after = url[prefix.length]
  return after === undefined || after === '/' || after === '?'
}
