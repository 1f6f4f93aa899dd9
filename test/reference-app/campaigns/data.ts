/** The data of the dashboard; the incident is about loading modules, not about data. */
export const USERS: readonly { readonly id: number; readonly name: string }[] = [
  { id: 1, name: 'Ada' },
  { id: 2, name: 'Grace' },
]
export const BRANDS: readonly { readonly id: number; readonly name: string }[] = [{ id: 1, name: 'Northwind' }]
export const CAMPAIGNS: readonly { readonly id: number; readonly brand: number; readonly name: string }[] = [
  { id: 1, brand: 1, name: 'Spring' },
  { id: 2, brand: 1, name: 'Summer' },
]
