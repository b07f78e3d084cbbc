"""Launch files for clusters: KubeRay, SkyPilot and Anyscale, checked before they are written."""
