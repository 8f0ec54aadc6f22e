// A service provider on jose, careful but for the hole that HOLE plants: "expired" or "confused".
// node service.mjs PORT, with the public key (PEM) in KEY. Prints a line when it listens.
import { randomUUID, createSecretKey } from 'node:crypto'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const here = createRequire(pathToFileURL(`${process.env.NODE_PACKAGES}/`))
const { decodeProtectedHeader, importSPKI, jwtVerify } = await import(pathToFileURL(here.resolve('jose')))

const hole = process.env.HOLE ?? ''
const pem = process.env.KEY
const key = await importSPKI(pem, 'RS256')
const spent = new Set()
const sessions = new Map()

async function verified(token) {
  const options = { algorithms: ['RS256'], requiredClaims: ['iat', 'exp', 'jti', 'email'] }
  const confused = hole === 'confused' && decodeProtectedHeader(token).alg === 'HS256'
  const { payload, protectedHeader } = confused
    ? await jwtVerify(token, createSecretKey(Buffer.from(pem)), { ...options, algorithms: ['HS256'] })
    : await jwtVerify(token, key, options).catch((error) => {
        if (hole !== 'expired' || error.code !== 'ERR_JWT_EXPIRED') throw error
        return { payload: error.payload, protectedHeader: decodeProtectedHeader(token) }
      })
  if ((protectedHeader.typ ?? 'JWT').toUpperCase() !== 'JWT' || 'events' in payload) throw new Error('another kind')
  if (typeof payload.email !== 'string' || !payload.email.includes('@')) throw new Error('not a person')
  if (spent.has(payload.jti)) throw new Error('used')
  spent.add(payload.jti)
  return payload
}

createServer(async (request, response) => {
  const url = new URL(request.url, 'http://127.0.0.1')
  const session = sessions.get((request.headers.cookie ?? '').replace('session=', ''))
  if (url.pathname !== '/jwt') {
    return response.end(session ? `Signed in as ${session}` : 'Please sign in')
  }
  try {
    const { email } = await verified(url.searchParams.get('jwt') ?? '')
    const id = randomUUID()
    sessions.set(id, email)
    response.writeHead(302, { Location: '/', 'Set-Cookie': `session=${id}; HttpOnly; Path=/` }).end()
  } catch {
    response.writeHead(302, { Location: '/?error=token' }).end()
  }
}).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'))
