import assert from 'node:assert/strict'
import { at, type RowApi, rows, versionsOf } from './row.js'
import { avro } from './samples.js'

const oddNames = {
  'a space': 'with space',
  'a slash': 'a/b',
  'letters beyond ASCII': 'naïve-中',
  'a percent sign': '%percent',
  'a plus sign': 'a+b',
  'a question mark': 'a?b',
  'a colon inside': 'a:b'
}

export const transportRows = [
  ...rows(
    'transport',
    Object.fromEntries(
      Object.entries(oddNames).map(([what, name]) => [
        `a subject with ${what}`,
        async (api: RowApi) => {
          await api.register(api.subject(name), avro.user)
          assert.equal(at(await api.version(api.subject(name), 1), 'subject'), api.subject(name))
          const subjects = await api.get('/subjects')
          assert.ok(Array.isArray(subjects) && subjects.includes(api.subject(name)))
        }
      ])
    )
  ),
  ...rows('transport', {
    'a control character in a subject is 42208': async api => {
      await api.registerRefused(422, 42208, api.subject('tab\there'), avro.user)
    },
    '__GLOBAL is no subject: 42208': async api => {
      api.afterwards(() => api.call('DELETE', '/subjects/__GLOBAL?permanent=true'))
      api.afterwards(() => api.call('DELETE', '/subjects/__GLOBAL'))
      await api.refused(422, 42208, 'POST', versionsOf('__GLOBAL'), { schema: avro.user })
    },
    'the root answers': async api => {
      assert.deepEqual(await api.get('/'), {})
    },
    'an unknown path is 404': async api => {
      assert.equal((await api.call('GET', '/nothing-here')).status, 404)
    },
    'an unknown part of a subject is 404': async api => {
      assert.equal((await api.call('GET', `/subjects/${api.subject()}/nothing`)).status, 404)
    },
    'a wrong method is 405': async api => {
      assert.equal((await api.call('PUT', '/subjects', {})).status, 405)
    },
    'application/json is taken': async api => {
      const headers = { 'content-type': 'application/json' }
      const answer = await api.call('POST', versionsOf(api.subject()), { schema: avro.user }, { headers })
      assert.equal(answer.status, 200, answer.text)
    },
    'plain text is 415': async api => {
      const headers = { 'content-type': 'text/plain' }
      const answer = await api.call('POST', versionsOf(api.subject()), { schema: avro.user }, { headers })
      assert.equal(answer.status, 415, answer.text)
    },
    'answers are JSON by their type': async api => {
      const { headers } = await api.call('GET', '/subjects')
      assert.match(String(headers.get('content-type')), /json/)
    },
    'answers are of the registry’s own type': async api => {
      const { headers } = await api.call('GET', '/subjects')
      assert.match(String(headers.get('content-type')), /^application\/vnd\.schemaregistry\.v1\+json/)
    },
    'errors have error_code and message': async api => {
      const { body } = await api.call('GET', versionsOf(api.subject()))
      assert.deepEqual([typeof at(body, 'error_code'), typeof at(body, 'message')], ['number', 'string'])
    },
    'an unknown subject is named in the message': async api => {
      assert.match(await api.refused(404, 40401, 'GET', versionsOf(api.subject())), new RegExp(api.prefix))
    },
    'the version of the server is told': async api => {
      assert.equal(typeof at(await api.get('/v1/metadata/version'), 'version'), 'string')
    },
    'the id of the cluster is told': async api => {
      assert.equal(typeof at(await api.get('/v1/metadata/id'), 'scope', 'clusters', 'kafka-cluster'), 'string')
    }
  }),
  ...rows(
    'transport',
    {
      'without credentials: 401': async api => {
        const answer = await api.call('GET', '/subjects', undefined, { anonymous: true })
        assert.equal(answer.status, 401)
        assert.match(String(answer.headers.get('www-authenticate')), /^basic/i)
      },
      'with a wrong password: 401': async api => {
        const authorization = `Basic ${Buffer.from('nobody:wrong').toString('base64')}`
        const answer = await api.call('GET', '/subjects', undefined, { headers: { authorization } })
        assert.equal(answer.status, 401)
      },
      'without credentials nothing is registered': async api => {
        const answer = await api.call('POST', versionsOf(api.subject()), { schema: avro.user }, { anonymous: true })
        assert.equal(answer.status, 401)
        await api.refused(404, 40401, 'GET', versionsOf(api.subject()))
      }
    },
    'auth'
  )
]
