export const loader = () => ({ name: 'react router' })
export default function Home({ loaderData }) {
  return <h1>hello from {loaderData.name}</h1>
}
