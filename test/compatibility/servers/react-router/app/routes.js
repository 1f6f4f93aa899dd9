import { index, route } from '@react-router/dev/routes'

export default [index('routes/home.jsx'), route('spin', 'routes/spin.jsx'), route('notes', 'routes/notes.jsx')]
