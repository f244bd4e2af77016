export function HealthView() { return <p>health</p> }
