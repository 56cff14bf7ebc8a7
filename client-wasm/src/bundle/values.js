// An error of an action as the wire has it: a code and details stand beside the error.
export function partsOf(error) {
  if (typeof error !== "object" || error === null) return { error: error ?? "Error" };
  const { code, details, ...rest } = error;
  if (error instanceof Error) rest.message = error.message;
  return { error: rest, code: typeof code === "string" ? code : undefined, details };
}

// The separator stands after each name.
export const split = (names, separator) => names.split(separator).slice(0, -1);

export const place = (epoch, offset) => ({ epoch, offset });
