/** Warren's own version; test/tidy.test.ts holds it to package.json's. */
export const warrenVersion = '0.1.0'
