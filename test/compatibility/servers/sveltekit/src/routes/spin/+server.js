export const GET = () => {
  // Counts, because a bundler removes an empty loop.
  let turns = 0
  for (const end = Date.now() + 20_000; Date.now() < end; ) turns++
  return new Response(`spun ${turns}`)
}
