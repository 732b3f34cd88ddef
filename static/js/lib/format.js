/* Numbers as text, the same way as templates/macros/ui.html does it. */

export function formatBytes(bytes) {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  if (bytes < 999950) return `${(bytes / 1e3).toFixed(1)} kB`;
  if (bytes < 999950000) return `${(bytes / 1e6).toFixed(1)} MB`;
  if (bytes < 999950000000) return `${(bytes / 1e9).toFixed(2)} GB`;
  return `${(bytes / 1e12).toFixed(2)} TB`;
}

export function formatDuration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  if (seconds < 3599.5) {
    const whole = Math.round(seconds);
    return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (seconds < 86400) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
  const hours = Math.floor(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function formatAgo(seconds) {
  if (seconds < 45) return "just now";
  if (seconds < 3570) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600 + 0.01)} h ago`;
  const days = Math.floor(seconds / 86400);
  return days === 1 ? "yesterday" : `${days} d ago`;
}

export function formatMoment(date) {
  const [year, month, day] = [date.getFullYear(), pad(date.getMonth() + 1), pad(date.getDate())];
  return `${year}-${month}-${day} ${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

export function formatNumber(value) {
  return value.toLocaleString("en-US");
}

function pad(value) {
  return String(value).padStart(2, "0");
}
