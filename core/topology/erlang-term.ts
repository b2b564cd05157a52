// JSON values in the notation that RabbitMQ's texts have for them: <<"text">>, 5, true, [], #{}.

/** Prints a JSON value as an Erlang term. */
export function erlangTerm(value: unknown): string {
  if (typeof value === 'string') return `<<"${value}">>`
  if (Array.isArray(value)) return `[${value.map(erlangTerm).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(
      ([key, field]) => `<<"${key}">> => ${erlangTerm(field)}`,
    )
    return `#{${fields.join(',')}}`
  }
  return String(value)
}

/** Prints the fields of a JSON object as a list of pairs. */
export function erlangPairs(fields: readonly (readonly [string, unknown])[]): string {
  return `[${fields.map(([key, value]) => `{<<"${key}">>,${erlangTerm(value)}}`).join(',')}]`
}
