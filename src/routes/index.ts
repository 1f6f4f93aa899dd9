/** `punctual/routes`: routes and modules that load after the worker is ready. */
export { deferRoutes, type Handler } from './defer-handler.ts'
export type { DeferralEvent, DeferralOptions } from './deferral-options.ts'
export { type LazyOptions, lazy } from './lazy.ts'
