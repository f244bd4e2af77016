export function RequestView({ id }: { id: string }) { return <p>{id}</p> }
