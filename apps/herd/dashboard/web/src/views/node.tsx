export function NodeView({ name }: { name: string }) { return <p>{name}</p> }
