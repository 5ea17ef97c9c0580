export { decodeRecords } from './decode.js'
export { encodeBatch } from './encode.js'
