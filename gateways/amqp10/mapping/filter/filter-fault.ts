/** Why a filter is none: what its author should know. */
export class FilterFault extends Error {}
