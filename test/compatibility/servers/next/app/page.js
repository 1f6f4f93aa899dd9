export const dynamic = 'force-dynamic'
export default async function Page() {
  return <h1>hello from {process.env.NODE_ENV}</h1>
}
