// The user name that a verified client certificate proves.

import type { X509Certificate } from 'node:crypto'
import type { CertificateLogin } from './listener-plan.ts'

/** The user name by `ssl_cert_login_from`; undefined when the certificate lacks the field. */
export function certificateUser(
  certificate: X509Certificate,
  from: CertificateLogin,
): string | undefined {
  if (from === 'distinguished_name') return distinguishedName(certificate.subject)
  if (from === 'common_name') return commonName(certificate.subject)
  return alternativeName(certificate.subjectAltName)
}

/**
 * A subject as Node writes it (one `TYPE=value` per line, values escaped as in RFC 2253, the most
 * general first) as one line in the order of RFC 4514: the most specific first.
 */
export function distinguishedName(subject: string | undefined): string | undefined {
  const parts = relativeNames(subject)
  return parts.length === 0 ? undefined : parts.reverse().join(',')
}

/** The value of the most specific CN. */
export function commonName(subject: string | undefined): string | undefined {
  const found = relativeNames(subject).findLast((part) => part.startsWith('CN='))
  return found === undefined ? undefined : unescapeValue(found.slice(3))
}

/** The first DNS name, or the first name of another kind where there is none (`DNS:a, IP Address:::1`). */
export function alternativeName(names: string | undefined): string | undefined {
  if (names === undefined || names === '') return undefined
  const entries = names.split(', ')
  const entry = entries.find((item) => item.startsWith('DNS:')) ?? entries[0]
  if (entry === undefined) return undefined
  const value = entry.slice(entry.indexOf(':') + 1)
  return value === '' ? undefined : value
}

function relativeNames(subject: string | undefined): string[] {
  return subject === undefined ? [] : subject.split('\n').filter((part) => part !== '')
}

// RFC 2253: a backslash before a special character, or before two hex digits for a byte of UTF-8.
function unescapeValue(value: string): string {
  const parts = value.split(/((?:\\[0-9A-Fa-f]{2})+|\\.)/)
  return parts
    .map((part) => {
      if (!part.startsWith('\\')) return part
      return part.length === 2
        ? part.slice(1)
        : Buffer.from(part.replaceAll('\\', ''), 'hex').toString('utf8')
    })
    .join('')
}
